# An application's image with Backstay in it: two lines more than without, COPY --from and ENTRYPOINT.
#   docker build -f examples/docker/Dockerfile.app -t notes examples/docker
# The application's image needs glibc, at least that of Debian 12 (2.36), and no package more.
FROM python:3.12-slim-bookworm
COPY --from=backstay /opt/backstay /opt/backstay
COPY app.py /app/app.py
# A new volume takes over whose the folder is.
RUN install -d -o 10001 -g 10001 /data
USER 10001:10001
EXPOSE 8080
# Restores what is not there, runs the application, and ships what it left unshipped, however it ended.
ENTRYPOINT ["/opt/backstay/bin/backstay", "run", "-restore", "--"]
CMD ["python3", "/app/app.py", "/data/app.db", "8080"]
