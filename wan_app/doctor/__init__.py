"""`python -m wan_app doctor`: whether everything that the studio needs is here, and what to do where it is not."""
