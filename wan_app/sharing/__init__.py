"""Who may come in, what they may do and how much of it: passwords, guest links, sessions, limits, the gate.

Knows HTTP, but neither gradio nor videos.
"""
