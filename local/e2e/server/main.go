// Command server is what runs in the pods of the tests. It must not be used for anything else.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	http.HandleFunc("/", func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(answer, os.Getenv("SLOT"))
	})
	http.HandleFunc("/fetch", fetch)
	http.HandleFunc("/write", write)
	fmt.Println("listening")
	server := http.Server{Addr: ":8080", ReadHeaderTimeout: time.Minute}
	fmt.Println(server.ListenAndServe())
}

func fetch(answer http.ResponseWriter, request *http.Request) {
	onward, err := http.NewRequestWithContext(request.Context(), http.MethodGet, request.URL.Query().Get("url"), nil)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	response, err := http.DefaultClient.Do(onward)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadGateway)
		return
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(answer, response.Body)
}

func write(answer http.ResponseWriter, _ *http.Request) {
	if err := os.WriteFile("/data/written", []byte("x"), 0o600); err != nil {
		http.Error(answer, err.Error(), http.StatusInternalServerError)
	}
}
