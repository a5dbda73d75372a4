# The images of kubetuna, one per target: operator, trial, dashboard. All run as user 65532 and need no writable
# file system but /tmp; none holds pip, a compiler or a cache.
#
#   docker build --target operator -t kubetuna-operator:0.1.0 .
#   docker build --target dashboard -t kubetuna-dashboard:0.1.0 .
#   docker build --target trial -t kubetuna-trial:0.1.0 .
#
# What an image needs lies in /opt/packages, in a layer that changes with the pins only; our own code lies in
# /opt/app, in a small layer on top, so that an edit does not send gigabytes again.

# Any image with Python 3.11 or newer and its venv module.
ARG BASE=python:3.11-slim


FROM ${BASE} AS build
ENV PATH=/opt/build/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY constraints.txt ./
RUN python3 -m venv /opt/build \
 && pip install --quiet -c constraints.txt hatchling \
 && python3 -m venv --without-pip /opt/packages


# What each target needs, read from the pyproject files: they stay the only place where it is said.
FROM build AS requirements
ARG TRIAL_EXTRAS="task2"
COPY core/pyproject.toml core/
COPY operator/pyproject.toml operator/
COPY trial_image/pyproject.toml trial_image/
RUN python3 -c "\
import pathlib, sys, tomllib; \
read = lambda name: tomllib.loads(pathlib.Path(name, 'pyproject.toml').read_text())['project']; \
core, operator, trial = map(read, ('core', 'operator', 'trial_image')); \
extras = [line for name in sys.argv[1:] for line in trial['optional-dependencies'][name]]; \
write = lambda name, lines: pathlib.Path(name).write_text('\n'.join(lines) + '\n'); \
write('operator.txt', [*core['dependencies'], *(d for d in operator['dependencies'] if not d.startswith('kubetuna'))]); \
write('trial.txt', [*trial['dependencies'], *extras]); \
write('dashboard.txt', [*core['optional-dependencies']['dashboard'], 'psycopg2-binary']) \
" ${TRIAL_EXTRAS}


# Without any of the core's extras: the operator draws nothing and serves no dashboard.
FROM build AS operator-packages
COPY --from=requirements /src/operator.txt ./
RUN pip --python /opt/packages/bin/python install --quiet -c constraints.txt -r operator.txt

FROM build AS operator-code
COPY core core
COPY operator operator
RUN pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels ./core ./operator \
 && pip --python /opt/packages/bin/python install --quiet --no-deps --target /opt/app wheels/*.whl


# TORCH_INDEX: another package index for torch alone, such as the one with CPU-only wheels (0.7 GB in place of 6).
FROM build AS trial-packages
ARG TORCH_INDEX=""
COPY --from=requirements /src/trial.txt ./
RUN pip --python /opt/packages/bin/python install --quiet -c constraints.txt \
      ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} torch \
 && pip --python /opt/packages/bin/python install --quiet -c constraints.txt -r trial.txt

FROM build AS trial-code
COPY trial_image trial_image
RUN pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels ./trial_image \
 && pip --python /opt/packages/bin/python install --quiet --no-deps --target /opt/app wheels/*.whl


FROM build AS dashboard-packages
COPY --from=requirements /src/dashboard.txt ./
RUN pip --python /opt/packages/bin/python install --quiet -c constraints.txt -r dashboard.txt

# The core without what it depends on: the dashboard's module needs Optuna alone.
FROM build AS dashboard-code
COPY core core
RUN pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels ./core \
 && pip --python /opt/packages/bin/python install --quiet --no-deps --target /opt/app wheels/*.whl


# The account has a name because torch and others look up who they are.
FROM ${BASE} AS runtime
RUN grep -q :65532: /etc/passwd \
 || { echo nonroot:x:65532:65532:nonroot:/tmp:/bin/sh >> /etc/passwd; echo nonroot:x:65532: >> /etc/group; }
ENV PATH=/opt/app/bin:/opt/packages/bin:$PATH PYTHONPATH=/opt/app \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /tmp
USER 65532:65532


FROM runtime AS dashboard
COPY --from=dashboard-packages /opt/packages /opt/packages
COPY --from=dashboard-code /opt/app /opt/app
EXPOSE 8080
ENTRYPOINT ["python3", "-m", "kubetuna.store.dashboard"]


FROM runtime AS trial
COPY --from=trial-packages /opt/packages /opt/packages
COPY --from=trial-code /opt/app /opt/app
CMD ["python", "-m", "kubetuna_trial.task1"]


# The last target is what a build without --target makes.
FROM runtime AS operator
COPY --from=operator-packages /opt/packages /opt/packages
COPY --from=operator-code /opt/app /opt/app
ENTRYPOINT ["python3", "-m", "kubetuna_operator"]
