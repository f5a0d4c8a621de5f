// Command tool is all that the tests' base image holds: what a shell would do in a Dockerfile, without one.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	args := append(os.Args[1:], "", "", "", "")
	switch args[0] {
	case "write": // write FILE TEXT
		put(args[1], args[2])
	case "copy": // copy FROM TO
		data, err := os.ReadFile(args[1])
		check(err)
		put(args[2], string(data))
	case "env": // env NAME FILE
		put(args[2], os.Getenv(args[1]))
	case "length": // length FILE TO: proves that a file was readable without keeping it
		data, err := os.ReadFile(args[1])
		check(err)
		fmt.Println("it says", string(data))
		put(args[2], strconv.Itoa(len(data)))
	case "fail": // fail LINES LAST
		lines, err := strconv.Atoi(args[1])
		check(err)
		for i := range lines {
			fmt.Println("line", i)
		}
		fmt.Println(args[2])
		os.Exit(7)
	case "test": // test FOLDER PASSED FAILED: writes JUnit results, as a test runner does
		passed, err := strconv.Atoi(args[2])
		check(err)
		failed, err := strconv.Atoi(args[3])
		check(err)
		fmt.Println("running", passed+failed, "tests as", os.Getenv("WHO"))
		check(os.MkdirAll(args[1], 0o755))
		put(args[1]+"/deep/junit.xml", junit(passed, failed))
		if failed > 0 {
			os.Exit(1)
		}
	case "sleep":
		fmt.Println("sleeping")
		time.Sleep(time.Hour)
	default:
		fmt.Fprintln(os.Stderr, "unknown", os.Args)
		os.Exit(2)
	}
}

func junit(passed, failed int) string {
	var b strings.Builder
	b.WriteString("<testsuites><testsuite>")
	for i := range passed {
		fmt.Fprintf(&b, `<testcase classname="shop" name="works%d"/>`, i)
	}
	for i := range failed {
		fmt.Fprintf(&b, `<testcase classname="shop" name="breaks%d"><failure message="want 1, got 2"/></testcase>`, i)
	}
	b.WriteString("</testsuite></testsuites>")
	return b.String()
}

func put(file, text string) {
	if at := strings.LastIndex(file, "/"); at > 0 {
		check(os.MkdirAll(file[:at], 0o755))
	}
	check(os.WriteFile(file, []byte(text), 0o644))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
