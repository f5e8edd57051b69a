# The image of the backend's roles; `docker run IMAGE --help` says what it can do.

FROM python:3.13-slim AS wheels
COPY requirements.lock .
# Every hash is checked here, once; the stage below can then have nothing but these wheels.
RUN pip wheel --no-cache-dir --require-hashes --wheel-dir /wheels -r requirements.lock

FROM python:3.13-slim
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/privity --create-home privity && \
    install --directory --owner privity --group privity /etc/nats /etc/supplier /var/lib/supplier
WORKDIR /opt/privity
COPY pyproject.toml README.md LICENSE app.py ./
COPY privity privity
COPY domain domain
COPY handlers handlers
COPY projections projections
COPY infra infra
# Editable, because the rooms run from the checkout; the extra alone, so that no test tool comes along.
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels hatchling && \
    pip install --no-cache-dir --no-index --find-links /wheels --no-build-isolation --editable '.[server]'
USER privity
ENV PRIVITY_DATA=/var/lib/privity PYTHONUNBUFFERED=1
VOLUME /var/lib/privity
ENTRYPOINT ["privity"]
CMD ["--help"]
