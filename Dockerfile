# The page for those outside of Spaces, as the user 1000 that Spaces have too. A Gradio Space does
# not use this file. See docs/hub.md.
FROM python:3.11-slim

RUN useradd -m -u 1000 user
USER 1000
ENV HOME=/home/user \
    PATH=/home/user/.local/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MALLOC_ARENA_MAX=1 \
    GRADIO_SERVER_NAME=0.0.0.0
# The cache exists and is the user's, and so is a volume in its place.
RUN mkdir -p /home/user/app /home/user/.cache/huggingface
WORKDIR /home/user/app

COPY --chown=user requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt
COPY --chown=user LICENSE app.py ./
COPY --chown=user model model

EXPOSE 7860
HEALTHCHECK --start-period=60s CMD ["python", "-c", "\
from http.client import HTTPConnection; \
page = HTTPConnection('127.0.0.1', 7860, timeout=10); \
page.request('GET', '/'); \
exit(page.getresponse().status != 200)"]
CMD ["python", "app.py"]
