#!/usr/bin/env bash
# kubetuna on kind, on a machine with Docker: `make kind`. Needs docker, kind and kubectl on the PATH.
#   KIND_CLUSTER          the cluster's name (kubetuna)
#   KUBETUNA_CLUSTER_GPUS how many GPUs its node shows; there is no device behind them (4)
#   TARGETS               the images to build (operator dashboard trial); without trial, Task 1 cannot run
set -euo pipefail
cd "$(dirname "$0")/../.."
name=${KIND_CLUSTER:-kubetuna}
gpus=${KUBETUNA_CLUSTER_GPUS:-4}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' core/pyproject.toml)

for program in docker kind kubectl; do
    command -v "$program" > /dev/null || { echo "make kind needs $program on the PATH" >&2; exit 1; }
done

kubectl() { command kubectl --context "kind-$name" "$@"; }

kind get clusters | grep -qx "$name" || kind create cluster --name "$name"
for target in ${TARGETS:-operator dashboard trial}; do
    echo "building kubetuna-$target:$version (the trial image takes minutes)"
    docker build --quiet --target "$target" --tag "kubetuna-$target:$version" .
    kind load docker-image --name "$name" "kubetuna-$target:$version"
done
kubectl patch node "$name-control-plane" --subresource=status --type=json --patch "[
  {\"op\": \"add\", \"path\": \"/status/capacity/nvidia.com~1gpu\", \"value\": \"$gpus\"},
  {\"op\": \"add\", \"path\": \"/status/allocatable/nvidia.com~1gpu\", \"value\": \"$gpus\"}]"
kubectl apply -k manifests/overlays/kind
for workload in statefulset/kubetuna-postgres deployment/kubetuna-operator deployment/kubetuna-dashboard; do
    kubectl -n kubetuna rollout status "$workload" --timeout 5m
done

cat << END

kubetuna runs in namespace kubetuna and watches every namespace. Next:

  kubectl apply -f examples/experiment-task1.yaml
  kubectl get experiments,trials
  kubectl -n kubetuna port-forward service/kubetuna-dashboard 8080   # then open http://localhost:8080/
  kind delete cluster --name $name                                  # ends and removes all of it
END
