"""The studio in the browser. The only importer of gradio; it knows `Services` and `ModelSpec`, never a model."""
