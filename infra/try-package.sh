#!/bin/sh
# try-package.sh ZIP FILE: unpacks the archive and has its binary say what it is, write the reference of a NetCDF file, and
# compare that with the file.
set -eu
zip=$1 file=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m zipfile -e "$zip" "$folder"
binary=$folder/landfall
# Python's zipfile keeps the modes when it packs and forgets them when it unpacks.
chmod 755 "$binary"
"$binary" --version
"$binary" virtualize "$file" -o "$folder/reference.json"
"$binary" verify "$folder/reference.json"
