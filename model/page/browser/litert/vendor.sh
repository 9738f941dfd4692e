#!/usr/bin/env bash
# Rebuilds the other files of this folder from pinned npm packages, from the registry that npm is
# configured for:
#
#     bash model/page/browser/litert/vendor.sh
#
# litert.js joins the two packages into one classic script, without their import and export lines:
# a classic worker cannot import packages by name. All else is copied unchanged, the wasm gzipped.
set -euo pipefail
cd "$(dirname "$0")"
version=2.5.3
kinds="compat threaded" # one thread, any browser with SIMD; several threads, isolated pages only
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() { # NAME SHA512, the latter as npm's dist.integrity
  file=$(cd "$work" && npm pack --silent "@litertjs/$1@$version")
  echo "$2" | base64 -d | cmp - <(openssl dgst -sha512 -binary "$work/$file")
  mkdir "$work/$1" && tar -xzf "$work/$file" -C "$work/$1" --strip-components=1
}
fetch core PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==
fetch wasm-utils 4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==

{
  echo "// @litertjs/wasm-utils and @litertjs/core $version, Copyright Google LLC, Apache-2.0: see vendor.sh."
  for name in wasm-utils core; do
    sed '/^import .*@litertjs/d; /^export {/,/^};/d; /sourceMappingURL/d' "$work/$name/dist/index.js"
  done
} > litert.js
for kind in $kinds; do
  cp "$work/core/wasm/litert_wasm_${kind}_internal.js" "$kind.js"
  gzip -9nc "$work/core/wasm/litert_wasm_${kind}_internal.wasm" > "$kind.wasm.gz"
done
chmod 644 ./*.js ./*.gz
sha256sum LICENSE litert.js *.js *.gz | sort -uk2 > SHA256SUMS
