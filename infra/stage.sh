#!/bin/sh
# stage.sh BINARY FOLDER: lays FOLDER out anew as the Functions host wants the function app: host.json, the folders of
# function-definitions/ and the binary side by side, with the name and the mode under which host.json starts it.
set -eu
repository=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
binary=$1 folder=$2
[ -x "$binary" ] || { echo "stage: no program at $binary" >&2; exit 1; }
rm -rf -- "$folder"
mkdir -p -- "$folder"
cp "$repository/host.json" "$folder/"
cp -R "$repository/function-definitions/." "$folder/"
cp "$binary" "$folder/landfall"
chmod 755 "$folder/landfall"
