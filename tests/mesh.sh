# A mesh for the scripts beside this file, which source it. `name` is theirs.

scratch=$(mktemp -d)
mesh=

end() {
  # By its id alone: it ends what it started.
  [[ -z $mesh ]] || { kill "$mesh" 2>/dev/null && wait "$mesh" || true; }
  rm -rf "$scratch"
}
trap end EXIT

die() { printf '%s: %s\n' "$name" "$*" >&2; exit 1; }

# start_or_take [<folder>]: sets `folder` to that of a running mesh, or to that
# of one of its own, which ends with the script.
start_or_take() {
  if [[ $# -gt 0 ]]; then
    folder=$1
    [[ -f $folder/mesh.env ]] || die "$folder holds no running mesh (make run)"
    return
  fi
  folder=$scratch/mesh
  "$root/target/debug/devmesh" --folder "$folder" run --port 0 >"$scratch/log" 2>&1 &
  mesh=$!
  local tries
  for tries in {1..600}; do
    [[ -f $folder/mesh.env ]] && return
    kill -0 "$mesh" 2>/dev/null || break
    sleep 0.2
  done
  tail -n 5 "$scratch/log" >&2
  die "no mesh started (make build first)"
}

# Of the mesh: what mesh.env says.
value() { sed -n "s/^$1=//p" "$folder/mesh.env"; }
