package variablestest_test

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables/variablestest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, keeps := range map[string]bool{"that keeps versions": true, "that forgets them": false} {
		t.Run("one "+name, func(t *testing.T) {
			open := func(*testing.T) variablestest.Subject {
				m := variablestest.NewMemory(func() time.Time { return now })
				return variablestest.Subject{
					Store: m, Keeps: keeps,
					Put: func(_ *testing.T, name, content string) {
						if m.Put(name, content); !keeps {
							m.Forget(name)
						}
					},
					Disable: func(_ *testing.T, name string) { m.Disable(name) },
					Expire:  func(_ *testing.T, name string) { m.Expire(name, now) },
					Refuse: func(*testing.T) {
						m.Fail(fault.New(fault.Unreachable, "", "403").WithHint("grant it"))
					},
				}
			}
			variablestest.Run(t, open)
			if keeps {
				variablestest.RunVersions(t, open)
			}
		})
	}
}
