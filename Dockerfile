# docker build -t hub . && docker run -p 8080:8080 -v hub-data:/data hub
FROM python:3.12-slim AS build
WORKDIR /src
# The compiler is for one optional helper; the image that runs has none.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml setup.py README.md LICENSE ./
COPY protocol ./protocol
COPY hub ./hub
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --create-home --home-dir /data hub
COPY --from=build /venv /venv
USER hub
WORKDIR /data
VOLUME /data
# Inside a container all addresses are the container's own; what is published is the operator's choice.
ENV PATH=/venv/bin:$PATH HUB_HOST=0.0.0.0 HUB_PORT=8080 HUB_DATABASE_URL=sqlite:////data/hub.db
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['HUB_PORT']}/readyz\", timeout=2)"]
STOPSIGNAL SIGTERM
CMD ["hub", "serve"]
