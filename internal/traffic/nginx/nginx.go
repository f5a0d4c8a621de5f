// Package nginx routes by Ingresses with ingress-nginx's canary annotations, which its forks and Traefik read as well; it must not wait.
package nginx

import (
	"context"
	"errors"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	networkingclient "k8s.io/client-go/kubernetes/typed/networking/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/traffic"
)

var _ traffic.Router = (*Router)(nil)

// Router keeps one main Ingress per Ingress of the chart, and while two slots share traffic a canary Ingress beside it.
type Router struct {
	client  kubernetes.Interface
	callers traffic.Callers
	now     func() time.Time
}

// New returns a router in the cluster that the client talks to; callers moves the stable Services. A nil clock is the real one.
func New(client kubernetes.Interface, callers traffic.Callers, now func() time.Time) *Router {
	if now == nil {
		now = time.Now
	}
	return &Router{client: client, callers: callers, now: now}
}

// Split implements traffic.Router. The candidate has 100 only when the main Ingress leads to it and the canary Ingress is gone.
func (r *Router) Split(ctx context.Context, t traffic.Target) (traffic.State, error) {
	v, err := r.look(ctx, t)
	if err != nil {
		return traffic.State{}, failed("look at the Ingresses", t.Namespace, err)
	}
	return v.state(r.now()), nil
}

// Shift implements traffic.Router. It makes the writes of one stage; the next stage follows when the proxies have had their time.
func (r *Router) Shift(ctx context.Context, s traffic.Shift) error {
	if err := traffic.Expressible(s.Split); err != nil {
		return err
	}
	return failed("shift the Ingresses", s.Namespace, r.shift(ctx, s))
}

func (r *Router) shift(ctx context.Context, s traffic.Shift) error {
	pass := traffic.Begin(s.Target, s.Generation, r.now)
	v, err := r.look(ctx, s.Target)
	if err != nil {
		return err
	}
	if err := v.fence(pass); err != nil {
		return err
	}
	w, err := newWanted(v, s.Split)
	if err != nil {
		return err
	}
	for _, step := range w.stage(r.now()) {
		if err := r.take(ctx, pass, v, step); err != nil {
			return err
		}
	}
	return nil
}

// Remove implements traffic.Router: the canaries first, so that none is ever without a main Ingress.
func (r *Router) Remove(ctx context.Context, t traffic.Target, generation int64) error {
	pass := traffic.Begin(t, generation, r.now)
	v, err := r.look(ctx, t)
	if err == nil {
		err = v.fence(pass)
	}
	for _, ingresses := range []map[string]*networkingv1.Ingress{v.canaries, v.mains} {
		for _, name := range sorted(ingresses) {
			if err == nil && object(ingresses[name]).Written(t) {
				err = r.remove(ctx, pass, ingresses[name])
			}
		}
	}
	if err == nil {
		err = r.callers.Remove(ctx, t, generation)
	}
	return failed("remove the Ingresses", t.Namespace, err)
}

// take makes one step.
func (r *Router) take(ctx context.Context, pass traffic.Pass, v view, s step) error {
	switch s.verb {
	case setMain:
		return r.setMain(ctx, pass, v, s)
	case setCanary:
		return r.setCanary(ctx, pass, v, s)
	case removeIngress:
		return r.remove(ctx, pass, s.old)
	case moveCallers:
		if len(pass.Target.Routes[s.slot].Services) == 0 {
			return nil
		}
		return r.callers.Shift(ctx, traffic.Shift{Target: pass.Target, Split: v1alpha1.Only(s.slot), Generation: pass.Generation})
	}
	return fault.New(fault.Internal, "shift traffic", "unknown step %d", s.verb)
}

func (r *Router) setMain(ctx context.Context, pass traffic.Pass, v view, s step) error {
	next, moves := mainIngress(pass, s)
	if s.old != nil {
		if err := pass.Target.Refuse(object(s.old)); err != nil {
			return err
		}
		if from := v.leads(s.old).slot; moves {
			if err := traffic.MayLead(ctx, r.callers, pass.Target, from, s.slot); err != nil {
				return err
			}
		}
	}
	return r.write(ctx, pass, s.old, next)
}

// setCanary gives a new canary its weight in a second write: a driver that was frozen before creating it can only bring back one without
// any, because updates are fenced by the resourceVersion and creations are not.
func (r *Router) setCanary(ctx context.Context, pass traffic.Pass, v view, s step) error {
	if taken := v.blocked[s.chart.Name]; taken != nil {
		return fault.New(fault.Usage, "shift traffic", "%s in namespace %s is not Sluice's, but its name is needed for the canary of Ingress %s",
			object(taken), taken.Namespace, s.chart.Name).WithHint("delete or rename it")
	}
	if s.weight > 0 {
		if err := traffic.MayLead(ctx, r.callers, pass.Target, v.live(), s.slot); err != nil {
			return err
		}
	}
	if s.old == nil && s.weight > 0 {
		empty := s
		empty.weight = 0
		created, err := r.create(ctx, pass, canaryIngress(pass, empty))
		if err != nil {
			return err
		}
		s.old = created
	}
	return r.write(ctx, pass, s.old, canaryIngress(pass, s))
}

// write updates an Ingress on the condition that nobody else did since it was read, or creates it; nothing where nothing differs.
func (r *Router) write(ctx context.Context, pass traffic.Pass, old, next *networkingv1.Ingress) error {
	if old == nil {
		_, err := r.create(ctx, pass, next)
		return err
	}
	if same(old, next) {
		return nil
	}
	old, next = old.DeepCopy(), next.DeepCopy()
	return pass.Insist(func() (bool, error) {
		next.ResourceVersion = old.ResourceVersion
		_, err := r.ingresses(next.Namespace).Update(ctx, next, metav1.UpdateOptions{FieldManager: v1alpha1.FieldManager})
		return apierrors.IsConflict(err), err
	}, func() (bool, error) { return r.unchanged(ctx, old) })
}

// unchanged reads an Ingress again and says whether only its status was written since.
func (r *Router) unchanged(ctx context.Context, old *networkingv1.Ingress) (bool, error) {
	now, err := r.ingresses(old.Namespace).Get(ctx, old.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	old.ResourceVersion = now.ResourceVersion
	return now.UID == old.UID && same(old, now), nil
}

func (r *Router) ingresses(namespace string) networkingclient.IngressInterface {
	return r.client.NetworkingV1().Ingresses(namespace)
}

func (r *Router) create(ctx context.Context, pass traffic.Pass, next *networkingv1.Ingress) (*networkingv1.Ingress, error) {
	if err := pass.Awake(); err != nil {
		return nil, err
	}
	return r.ingresses(next.Namespace).Create(ctx, next, metav1.CreateOptions{FieldManager: v1alpha1.FieldManager})
}

func (r *Router) remove(ctx context.Context, pass traffic.Pass, old *networkingv1.Ingress) error {
	old = old.DeepCopy()
	return pass.Insist(func() (bool, error) {
		err := r.ingresses(old.Namespace).Delete(ctx, old.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &old.UID, ResourceVersion: &old.ResourceVersion},
		})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return apierrors.IsConflict(err), err
	}, func() (bool, error) { return r.unchanged(ctx, old) })
}

func failed(op, namespace string, err error) error {
	var status apierrors.APIStatus
	code := 0
	if errors.As(err, &status) {
		code = int(status.Status().Code)
	}
	return traffic.Answer(op+" in namespace "+namespace, code, err)
}
