// Package helm tests the chart in helm/runnel without a cluster: what it renders is valid for the API of Kubernetes, from
// the oldest version that the chart allows to the newest, what it must refuse is refused, and the pods that it describes
// start with the real binary, as far as one machine can play the kubelet.
package helm
