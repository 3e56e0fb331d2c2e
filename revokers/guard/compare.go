package guard

import (
	"context"
	"fmt"

	"github.com/quellhq/quell/revokers"
)

// pages are those of the answers.
func (n *never) pages() []revokers.Page {
	var out []revokers.Page
	for _, a := range []revokers.Answer{n.answers[0], n.answers[1], n.none} {
		if a.Page != nil {
			out = append(out, *a.Page)
		}
	}
	return out
}

// compare compares the page of an answer with those of the never-issued credentials. If
// all of them get a page, the content of the pages decides.
func (n *never) compare(a *revokers.Answer) {
	if a == nil || a.Class != revokers.Accepts || a.Page == nil {
		return
	}
	open := func(o revokers.Answer) bool { return o.Class == revokers.Accepts && o.Page != nil }
	if !n.apart {
		if !open(n.answers[0]) && !open(n.answers[1]) && !open(n.none) || !a.Page.Authenticated(n.pages()) {
			return
		}
		for _, o := range []*revokers.Answer{&n.answers[0], &n.answers[1], &n.none} {
			if open(*o) {
				o.Class = revokers.Refuses
			}
		}
		n.apart = true
		n.learn()
		return
	}
	if !a.Page.Authenticated(n.pages()) {
		a.Class, a.Reason, a.Detail = revokers.Refuses, "", fmt.Sprintf("the page (%d) shows no signed-in user", a.Status)
	}
}

// learn makes the template of two refusals.
func (n *never) learn() {
	if n.answers[0].Class == revokers.Refuses && n.answers[1].Class == revokers.Refuses {
		n.template, n.shaped = revokers.NewTemplate(n.answers[0].Raw, n.answers[1].Raw)
		n.shape = n.template.Shape(n.answers[0].Raw)
	}
}

// more asks about further never-issued credentials, once: pages differ between
// two requests by more than their words.
func (n *never) more(ctx context.Context, v revokers.Verifier, t revokers.Target, endpoint string) error {
	if n.samples != nil {
		return nil
	}
	n.samples = []*revokers.Refusal{n.answers[0].Raw, n.answers[1].Raw}
	for len(n.samples) < revokers.NoisySamples {
		fake, ferr := NeverIssued(t)
		if ferr != nil {
			return nil //nolint:nilerr // as in tried
		}
		a, err := v.Verify(ctx, fake, endpoint)
		if err != nil {
			n.samples = nil
			return err
		}
		n.compare(&a)
		if a.Class != revokers.Refuses {
			return nil
		}
		n.samples = append(n.samples, a.Raw)
	}
	if noisy, ok := revokers.NewNoisy(n.samples); ok {
		n.noisy = &noisy
	}
	return nil
}

// compared gives a refusal its shape.
func (n *never) compared(ctx context.Context, v revokers.Verifier, t revokers.Target, endpoint string, a *revokers.Answer) error {
	if a.Shape = n.template.Shape(a.Raw); a.Shape == n.shape || !a.Raw.Noise() || !a.Raw.Alike(n.answers[0].Raw) {
		return nil
	}
	if err := n.more(ctx, v, t, endpoint); err != nil {
		return err
	}
	if n.noisy != nil && n.noisy.Has(a.Raw) {
		a.Shape = n.shape
	}
	return nil
}
