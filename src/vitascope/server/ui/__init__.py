"""The pages: Gradio in front of the job office, in English and Chinese, with nothing from another host."""
