package aks

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	_ "embed" // the script that runs in the cluster
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

const (
	// logLimit is what Azure keeps of a command's log; the rest is cut off.
	logLimit = 512 * 1000
	// room is how many bytes of answers fit, with their encryption and what stands around them.
	room = logLimit/4*3 - 8<<10
	// patience is how many seconds the API server is given for a batch.
	patience = 50
	// command is all that Azure shows of what is run: the requests lie in the files beside it.
	command = "bash ./carry.sh"
)

//go:embed carry.sh
var script string

// batch is what one command takes along, and what its answer is read with.
type batch struct {
	key, mark string
	names     []string
	context   []byte
}

// newBatch packs the requests into the archive that Azure unpacks where the command runs. The chart is what encrypts: helm is the one
// program of those that are promised to be there which can.
func newBatch(parcels []*parcel) (*batch, error) {
	random := make([]byte, 24+12)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	b := &batch{key: base64.StdEncoding.EncodeToString(random[:24]), mark: fmt.Sprintf("%x", random[24:])}
	files := [][2]string{
		{"carry.sh", fmt.Sprintf("room=%d patience=%d\n%s", room, patience, script)},
		{"answers/Chart.yaml", "apiVersion: v2\nname: answers\nversion: 0.0.0\n"},
		{"answers/key", b.key},
		{"answers/templates/answers.yaml", `apiVersion: v1
kind: Answers
metadata: {name: answers}
data: {{ .Files.Get "answers" | encryptAES (.Files.Get "key") | quote }}
end: ` + b.mark + "\n"},
	}
	for i, p := range parcels {
		b.names = append(b.names, fmt.Sprintf("request-%03d", i))
		files = append(files, [2]string{b.names[i], string(p.text)})
	}
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for _, file := range files {
		w, err := archive.Create(file[0])
		if err == nil {
			_, err = io.WriteString(w, file[1])
		}
		if err != nil {
			return nil, err
		}
	}
	err := archive.Close()
	b.context = out.Bytes()
	return b, err
}

// reply is what came of one request: its answer as it came over the wire, or its size where there was no room.
type reply struct {
	text  []byte
	large int
}

// response reads a whole answer.
func (r reply) response(request *http.Request) (*http.Response, error) {
	switch {
	case r.large > 0:
		return nil, &tooLarge{r.large}
	case len(r.text) == 0:
		return nil, fmt.Errorf("the API server did not answer within %d s", patience)
	}
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(r.text)), request)
	if err != nil {
		return nil, fmt.Errorf("what came back is no answer of an API server: %w", err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("the answer is not whole: %w", err)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

var errCut = errors.New("the end of the command's log is missing")

// replies reads the log of a command, one reply for each request.
func (b *batch) replies(logs string) ([]reply, error) {
	found := regexp.MustCompile(`(?m)^data: "?([A-Za-z0-9+/=]*)"?\r?\nend: "?` + b.mark + `"?\s*$`).FindStringSubmatch(logs)
	if found == nil {
		return nil, errCut
	}
	text, err := decrypt(b.key, found[1])
	if err != nil {
		return nil, err
	}
	all := make(map[string]reply, len(b.names))
	for len(text) > 0 {
		name, r, rest, err := next(text)
		if err != nil {
			return nil, err
		}
		all[name], text = r, rest
	}
	replies := make([]reply, len(b.names))
	for i, name := range b.names {
		r, ok := all[name]
		if !ok {
			return nil, fmt.Errorf("there is no answer to %s in the command's log", name)
		}
		replies[i] = r
	}
	return replies, nil
}

// next reads one answer: a line with its name, how it is packed and its size, and then that many bytes.
func next(text []byte) (string, reply, []byte, error) {
	line, rest, _ := bytes.Cut(text, []byte("\n"))
	parts := strings.Fields(string(line))
	if len(parts) != 3 {
		return "", reply{}, nil, errors.New("the command's log is not what the script writes")
	}
	size, err := strconv.Atoi(parts[2])
	if err != nil || size < 0 {
		return "", reply{}, nil, errors.New("the command's log is not what the script writes")
	}
	switch parts[1] {
	case "none":
		return parts[0], reply{}, rest, nil
	case "large":
		return parts[0], reply{large: max(size, 1)}, rest, nil
	}
	if size > len(rest) {
		return "", reply{}, nil, errCut
	}
	packed, rest := rest[:size], rest[size:]
	if parts[1] != "gzip" {
		return parts[0], reply{text: packed}, rest, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", reply{}, nil, err
	}
	whole, err := io.ReadAll(io.LimitReader(r, largest))
	return parts[0], reply{text: whole}, rest, err
}

// decrypt undoes the encryptAES of Helm's templates: AES-256-CBC, the vector in front, padded as PKCS #7 says.
func decrypt(key, text string) ([]byte, error) {
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("the command's log: %w", err)
	}
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		return nil, err
	}
	if len(sealed) < 2*aes.BlockSize || len(sealed)%aes.BlockSize != 0 {
		return nil, errCut
	}
	vector, sealed := sealed[:aes.BlockSize], sealed[aes.BlockSize:]
	cipher.NewCBCDecrypter(block, vector).CryptBlocks(sealed, sealed)
	padding := int(sealed[len(sealed)-1])
	if padding == 0 || padding > aes.BlockSize {
		return nil, errors.New("the command's log was encrypted with another key")
	}
	return sealed[:len(sealed)-padding], nil
}
