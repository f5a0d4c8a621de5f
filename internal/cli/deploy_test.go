package cli

import "testing"

// TestABrokenFileIsInTheWay: what the file asks releases to prove cannot be told, so even one that is named in full does not pass by it.
func TestABrokenFileIsInTheWay(t *testing.T) {
	w := newWorld(t)
	w.must(0, "build", "--version", "1.0.0")
	w.write("sluice.yaml", projectFile+"nme: twice\n")
	w.must(2, "deploy", "localhost:5000/calculator/calculator@"+digestOf("1.0.0"), "--env", "dev")
	if got := w.phases("dev"); got != "" {
		t.Errorf("rollouts in dev: %s", got)
	}
}
