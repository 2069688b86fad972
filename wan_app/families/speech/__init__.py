"""Text-to-speech models that clone a voice, for video models without sound of their own."""
