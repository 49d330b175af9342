# Sourced by engines.sh: an image of busybox alone.

# build_small LAYERS: localhost/small. Each layer has a file more, takes one away, and has a directory anew.
build_small() {
  local number name context=$state/small-$1
  if [ ! -d "$context" ]; then
    mkdir -p "$context"/root/{bin,kept,gone} && cp /bin/busybox "$context/root/bin/" || return
    for name in cat echo ls mkdir mv rm seq sh sleep tail touch wc; do ln -s busybox "$context/root/bin/$name"; done
    {
      printf '%s\n' 'FROM scratch' 'COPY root /'
      for ((number = 2; number <= $1; number++)); do
        echo "RUN echo $number >/kept/$number && touch /gone/$number && rm -f /gone/$((number - 1)) && echo $number >>/log && rm -rf /dir && mkdir /dir && touch /dir/$number"
      done
    } >"$context/Containerfile"
  fi
  layers=--layers build_in "$context" "$context/Containerfile" small && here_podman image inspect --format '{{len .RootFS.Layers}} layers' localhost/small
}
