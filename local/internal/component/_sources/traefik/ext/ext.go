// Package ext stands in for Traefik's extension point of the same name, which is published inside Traefik's repository
// only. It must stay empty: the local node extends nothing.
package ext

// HTTP is embedded in Traefik's HTTP configuration.
type HTTP struct{}

// Router is embedded in Traefik's router configuration.
type Router struct{}

// DeepCopyInto copies nothing: there is nothing in it.
func (in *HTTP) DeepCopyInto(out *HTTP) { *out = *in }

// DeepCopyInto copies nothing: there is nothing in it.
func (in *Router) DeepCopyInto(out *Router) { *out = *in }
