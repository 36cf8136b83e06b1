#!/bin/sh
# Run a command with the build's CA bundle trusted, where one was given: --secret id=ca,src=FILE. It never becomes part of the image.
#   with_ca.sh COMMAND ARGUMENT...
if [ -s /run/secrets/ca ]; then
    export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca REQUESTS_CA_BUNDLE=/run/secrets/ca CURL_CA_BUNDLE=/run/secrets/ca
fi
exec "$@"
