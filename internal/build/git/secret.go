package git

import (
	"context"
	"net/url"
	"strings"
)

// Learn makes the credentials known that the configuration holds for a folder: passwords and tokens within the URLs of its remotes and
// their replacements, and headers that are sent along, which is where CI systems put theirs. It changes nothing; where there is no
// configuration, nothing is learnt.
func (g Git) Learn(ctx context.Context, dir string) {
	if g.Secrets == nil {
		return
	}
	out, err := g.run(ctx, "read the Git configuration of "+dir, dir, "config", "--null", "--get-regexp", `^(remote\..*url|url\..*insteadof|http\..*extraheader|http\.extraheader|http\.proxy|remote\..*proxy)$`)
	if err != nil {
		// Nothing is configured, or it cannot be read: then git cannot repeat it either.
		return
	}
	for entry := range strings.SplitSeq(out, "\x00") {
		key, value, _ := strings.Cut(entry, "\n")
		if strings.HasSuffix(key, "extraheader") {
			_, credentials, _ := strings.Cut(value, ":")
			g.Secrets.AddAuthorization(credentials)
			continue
		}
		g.learnURL(value)
		g.learnURL(strings.TrimSuffix(strings.TrimPrefix(key, "url."), ".insteadof"))
	}
}

// learnURL takes the password of a URL, and a user that stands there alone where it looks like a token: some servers take one as the user.
func (g Git) learnURL(text string) {
	u, err := url.Parse(text)
	if err != nil || u.User == nil {
		return
	}
	written, password := u.User.String(), u.User.Username()
	if set, ok := u.User.Password(); ok {
		_, written, _ = strings.Cut(written, ":")
		password = set
	} else if len(password) < minToken {
		return
	}
	g.Secrets.Add(password, written)
}

// minToken is the shortest user of a URL that is taken for a token, in bytes: `git@` is none.
const minToken = 20
