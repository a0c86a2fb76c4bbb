"""The machine room: where and how modules live. Knows devices; knows no clips and no tasks."""
