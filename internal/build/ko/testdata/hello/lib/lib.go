// Package lib is no main package.
package lib

// Greeting is what is said.
const Greeting = "hello from the image"
