// Command greet greets.
package main

import "example.test/hello/lib"

func main() { println(lib.Greeting) }
