#!/bin/sh
# Builds the image of the newest commit, and with --push sends it to its registry and prints the name to put under kubeflow.image.
#
#   build.sh [--push] [--gpu] [--beam] registry.example/plant-failures[:TAG]
#
#   --gpu   with CUDA's libraries, for nodes with an NVIDIA GPU (5 GB more)
#   --beam  with Beam's boot program, for workers of Dataflow, Flink and Spark
#
# Uses docker, podman, buildah or Kaniko, whichever works here; ENGINE names one. BASE names another Debian 13 to start from, such as
# one with your company's certificates, and BEAM_SDK another place of Beam's image. The tag is the commit's, if none is given.
set -eu
cd "$(dirname "$0")/../.."

say() { printf '%s\n' "$*" >&2; }

push= name= target=pipeline locks=requirements/tfx-1.21.txt
for word; do
    case "$word" in
        --push) push=yes ;;
        --gpu) locks="$locks requirements/gpu.txt" ;;
        --beam) target=pipeline-and-workers ;;
        -*) say "build.sh: unknown option $word; known are --push, --gpu and --beam"; exit 2 ;;
        *) name=$word ;;
    esac
done
[ -n "$name" ] || { say "usage: build.sh [--push] [--gpu] [--beam] registry.example/plant-failures[:TAG]"; exit 2; }

# works ENGINE: whether it can build here; docker's client is often there without its server.
works() {
    case "$1" in
        docker) docker info >/dev/null 2>&1 ;;
        podman | buildah) "$1" info >/dev/null 2>&1 ;;
        kaniko) [ -x /kaniko/executor ] ;;
        *) return 1 ;;
    esac
}

engine=
for candidate in ${ENGINE:-docker podman buildah kaniko}; do
    if works "$candidate"; then
        engine=$candidate
        break
    fi
done
[ -n "$engine" ] || {
    say "Nothing here builds images: tried ${ENGINE:-docker, podman, buildah and Kaniko}."
    say "Install one (on Debian: apt install podman), start docker's server, or run this where one is."
    exit 1
}

commit=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
case "${name##*/}" in *:*) ;; *) name=$name:$(git rev-parse --short=12 HEAD) ;; esac
[ -z "$(git status --porcelain --untracked-files=no)" ] ||
    say "Uncommitted changes are left out: the image is that of commit $commit."

# What is committed and nothing else is sent to the builder.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/context"
git archive HEAD | tar -x -C "$work/context"
set -- --build-arg "LOCKS=$locks" --label "org.opencontainers.image.revision=$commit" \
    --label "org.opencontainers.image.created=$(git log -1 --format=%cI)"
[ -z "${BASE:-}" ] || set -- "$@" --build-arg "BASE=$BASE"
[ -z "${BEAM_SDK:-}" ] || set -- "$@" --build-arg "BEAM_SDK=$BEAM_SDK"

say "Building $name with $engine …"
dockerfile=$work/context/infra/image/Dockerfile
case "$engine" in
    docker)
        DOCKER_BUILDKIT=1 docker build "$@" --build-arg SOURCE_DATE_EPOCH --target "$target" --tag "$name" --file "$dockerfile" \
            "$work/context" >&2
        if [ -n "$push" ]; then
            docker push "$name" >&2
            docker inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$name" | grep -F "${name%:*}@" >"$work/pinned"
        fi
        ;;
    podman | buildah)
        # From buildah 1.28's cache an image was seen to come with the label of an older commit.
        "$engine" build "$@" --no-cache --timestamp "$SOURCE_DATE_EPOCH" --target "$target" --tag "$name" \
            --file "$dockerfile" "$work/context" >&2
        [ -z "$push" ] || "$engine" push --digestfile "$work/digest" "$name" >&2
        ;;
    kaniko)
        if [ -n "$push" ]; then set -- "$@" --destination "$name"; else set -- "$@" --no-push; fi
        /kaniko/executor "$@" --build-arg "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" --reproducible --digest-file "$work/digest" \
            --target "$target" --dockerfile "$dockerfile" --context "dir://$work/context" >&2
        ;;
esac
if [ -z "$push" ]; then
    say "Built. With --push it goes to its registry, which tells the digest."
    exit 0
fi
[ -e "$work/pinned" ] || echo "${name%:*}@$(cat "$work/digest")" >"$work/pinned"
say "Put this under kubeflow.image (infra/kubeflow/settings.yaml):"
head -n 1 "$work/pinned"
