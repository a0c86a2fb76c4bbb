"""The service over HTTP: the OpenAI Videos surface in front of the job office."""
