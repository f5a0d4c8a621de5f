// Package e2e holds the tests that bring a real node up and take it down again. It must not contain anything else.
package e2e
