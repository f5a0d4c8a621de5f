package metric

import "context"

// Turn lets one reader in after the other. Unlike a mutex it lets those go whose context ends while they wait.
type Turn chan struct{}

// NewTurn returns a turn that nobody has.
func NewTurn() Turn { return make(Turn, 1) }

// Take waits for the turn. Whoever has it gives it back with Give. Its errors are those of Down.
func (t Turn) Take(ctx context.Context) error {
	if ctx.Err() != nil {
		return Down(ctx, "", ctx.Err())
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return Down(ctx, "", ctx.Err())
	}
}

// Give hands the turn on.
func (t Turn) Give() { <-t }
