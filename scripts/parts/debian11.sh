#!/bin/sh
# debian11.sh DIR: Debian 11's C and C++ libraries into DIR, for debian11.cmake. Takes root and debootstrap.
set -eu
[ -e "$1/usr/include" ] || debootstrap --variant=minbase --include=libc6-dev,libstdc++-10-dev bullseye "$1"
# What points to the root of a file system would point into ours.
find "$1/usr/lib" "$1/usr/lib64" -lname '/*' | while read -r link; do
  ln -sfnr "$1$(readlink "$link")" "$link"
done
