// Command app is what the gates' end-to-end tests look at: `app serve` answers every request, `app exit N` says something and ends with N, `app hang` ends when it is told to.
package main

import (
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

func main() {
	if len(os.Args) < 2 {
		os.Exit(2)
	}
	switch os.Args[1] {
	case "serve":
		err := http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, `{"path":%q,"factors":[13,17]}`, r.URL.RequestURI())
		}))
		fmt.Println(err)
	case "exit":
		code, err := strconv.Atoi(os.Args[2])
		fmt.Println("asked for the factors of 221")
		fmt.Println("the last words of the test", err)
		os.Exit(code)
	case "hang":
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		<-asked
	}
}
