#!/bin/sh
# package.sh FOLDER ZIP: makes the deployable archive of a staged folder, if its binary runs where Azure runs it.
#
# A binary that is linked to glibc runs where glibc is as new as its newest symbol, or newer. Which one the images of Azure
# Functions have is not documented, so what infra/build.sh builds asks for 2.28 at most, which is older than any image that
# is still offered. LANDFALL_MAX_GLIBC sets another limit.
set -eu
folder=$1 zip=$2
newest=${LANDFALL_MAX_GLIBC:-2.28}
binary=$folder/landfall
[ -f "$folder/host.json" ] && [ -x "$binary" ] || { echo "package: $folder is not staged: run \`just stage\`" >&2; exit 1; }
case $(od -An -tx1 -N4 "$binary") in
  *"7f 45 4c 46"*) ;;
  *) echo "package: $binary is not a program for Linux" >&2; exit 1 ;;
esac
command -v objdump >/dev/null || { echo "package: objdump is needed to see what the binary asks for (binutils)" >&2; exit 1; }
needed=$(objdump -T "$binary" 2>/dev/null | sed -n 's/.*GLIBC_\([0-9.]*\).*/\1/p' | sort -Vu | tail -n 1)
if [ -n "$needed" ] && [ "$(printf '%s\n%s\n' "$needed" "$newest" | sort -V | tail -n 1)" != "$newest" ]; then
  echo "package: the binary needs glibc $needed, and no more than $newest may be asked for: build it by infra/build.sh" >&2
  exit 1
fi
echo "package: the binary needs ${needed:+glibc }${needed:-no glibc, it is static}" >&2
case $zip in /*) ;; *) zip=$PWD/$zip ;; esac
rm -f -- "$zip"
cd "$folder"
python3 -m zipfile -c "$zip" *
