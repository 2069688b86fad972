# The studio on a machine without a GPU: docker build -t wan-app . && docker run -p 7860:7860 wan-app
FROM python:3.11-slim

# Spaces run containers as user 1000; nothing here needs root after this line.
RUN useradd --create-home --uid 1000 user
USER user
ENV HOME=/home/user \
    PATH=/home/user/.local/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    WAN_APP_DATA_DIR=/home/user/data
WORKDIR /home/user/app

# The requirements alone first, so that a change of code does not install them again. A container
# without a GPU has no use for the gigabytes of CUDA in the package index's torch.
COPY --chown=user requirements.txt .
RUN pip install --no-cache-dir --user --no-deps --index-url https://download.pytorch.org/whl/cpu \
        "$(grep -o '^torch==[^ ]*' requirements.txt)" \
    && pip install --no-cache-dir --user --requirement requirements.txt

COPY --chown=user . .
RUN mkdir -p "$WAN_APP_DATA_DIR"
VOLUME /home/user/data
EXPOSE 7860
CMD ["python", "app.py"]
