package natives

import (
	"context"
	"fmt"
	"slices"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules/credential"
)

// rotators is one rotation by several stores: the steps of each, in one order.
type rotators []revokers.Rotator

// Steps implements revokers.Rotator.
func (list rotators) Steps(ctx context.Context, t revokers.Target) ([]revokers.Step, error) {
	var out []revokers.Step
	for _, r := range list {
		steps, err := r.Steps(ctx, t)
		if err != nil {
			return nil, err
		}
		out = append(out, steps...)
	}
	slices.SortStableFunc(out, func(a, b revokers.Step) int { return a.Order - b.Order })
	return out, nil
}

func (list rotators) of(ctx context.Context, t revokers.Target, s revokers.Step) (revokers.Rotator, error) {
	for _, r := range list {
		steps, err := r.Steps(ctx, t)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(steps, func(x revokers.Step) bool { return x.Name == s.Name }) {
			return r, nil
		}
	}
	return nil, fmt.Errorf("the policy no longer has the step %s", s.Name)
}

// Mark implements revokers.Rotator.
func (list rotators) Mark(ctx context.Context, t revokers.Target, s revokers.Step) ([]byte, error) {
	r, err := list.of(ctx, t, s)
	if err != nil {
		return nil, err
	}
	return r.Mark(ctx, t, s)
}

// Do implements revokers.Rotator.
func (list rotators) Do(ctx context.Context, t revokers.Target, s revokers.Step, fresh *credential.Secret) error {
	r, err := list.of(ctx, t, s)
	if err != nil {
		return err
	}
	return r.Do(ctx, t, s, fresh)
}

// Did implements revokers.Rotator.
func (list rotators) Did(ctx context.Context, t revokers.Target, s revokers.Step, mark []byte) (revokers.State, error) {
	r, err := list.of(ctx, t, s)
	if err != nil {
		return revokers.Unsure, err
	}
	return r.Did(ctx, t, s, mark)
}

// Undo implements revokers.Rotator.
func (list rotators) Undo(ctx context.Context, t revokers.Target, s revokers.Step, mark []byte) error {
	r, err := list.of(ctx, t, s)
	if err != nil {
		return err
	}
	return r.Undo(ctx, t, s, mark)
}

// Kept implements revokers.Keeper.
func (list rotators) Kept(ctx context.Context, t revokers.Target, s revokers.Step) (credential.Secret, error) {
	r, err := list.of(ctx, t, s)
	if err != nil {
		return credential.Secret{}, err
	}
	if r, ok := r.(revokers.Keeper); ok {
		return r.Kept(ctx, t, s)
	}
	return credential.Secret{}, nil
}

// Replacement implements revokers.Replacer: what the first store that can be read
// holds now.
func (list rotators) Replacement(ctx context.Context, t revokers.Target) (credential.Secret, error) {
	for _, r := range list {
		if r, ok := r.(revokers.Replacer); ok {
			if s, err := r.Replacement(ctx, t); err != nil || !s.IsZero() {
				return s, err
			}
		}
	}
	return credential.Secret{}, nil
}
