#!/usr/bin/env bash
# The admin app's calls: sign in, then metrics, top users, popular poses, errors and health.
#   POSEMON_URL=http://127.0.0.1:8321 POSEMON_EMAIL=admin@example.com POSEMON_PASSWORD=... examples/curl.sh
# Ends with an error as soon as one call fails. The app must offer the sign-in by password: `posemon serve` and `posemon demo` do.
set -euo pipefail

url="${POSEMON_URL:-http://127.0.0.1:8321}"
api="${url%/}${POSEMON_PREFIX:-/api/apps/pose-generator}"
email="${POSEMON_EMAIL:?set POSEMON_EMAIL to the e-mail address of an admin}"
password="${POSEMON_PASSWORD:?set POSEMON_PASSWORD to that admin\'s password}"

json_text() { # a text as a JSON string
  local text="${1//\\/\\\\}"
  printf '"%s"' "${text//\"/\\\"}"
}

get() { # the title of a call, then its path
  printf '\n== %s: GET %s\n' "$1" "$2"
  curl -fsS --max-time 30 -H "@$headers" "$api$2"
  echo
}

# The password and the token go through files that only this user reads: arguments of a command are everybody's to see.
umask 077
headers="$(mktemp)"
trap 'rm -f "$headers"' EXIT

echo "== Sign in: POST /api/auth/login"
answer="$(
  printf '{"email": %s, "password": %s}' "$(json_text "$email")" "$(json_text "$password")" |
    curl -fsS --max-time 30 -H 'Content-Type: application/json' --data-binary @- "${url%/}/api/auth/login"
)"
token="$(sed -n 's/.*"token": *"\([^"]*\)".*/\1/p' <<<"$answer")"
test -n "$token" || { echo "no token in the answer of the sign-in" >&2; exit 1; }
echo "signed in as $email"
printf 'Authorization: Bearer %s\n' "$token" >"$headers"

get "Metrics of the last 24 hours" "/metrics?period=24h"
get "Top users" "/metrics/top-users?limit=10"
get "Popular poses" "/metrics/popular-poses?limit=20"
get "Errors" "/metrics/errors?period=30d"
get "Health" "/health"
