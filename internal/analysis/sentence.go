package analysis

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// sentence says for people what the counts are and what follows from them; known says that the candidate has had enough requests for that.
func (q Question) sentence(a Answer, f finding, known bool) string {
	verb := "failed"
	if q.Bad == Slow {
		verb = "were too slow"
	}
	what := fmt.Sprintf("%s of %s requests %s", percent(a.Candidate.Share()), count(a.Candidate.Requests), verb)
	switch f.test {
	case "":
		return what + "; there is neither a live slot to compare with nor a limit"
	case AgainstLive:
		what += fmt.Sprintf(", live %s of %s", percent(a.Live.Share()), count(a.Live.Requests))
	case AgainstBaseline:
		what += fmt.Sprintf(", live had %s of %s before", percent(a.Live.Share()), count(a.Live.Requests))
	case AgainstLimit:
		what += fmt.Sprintf(", %s may", percent(f.max))
	}
	switch {
	case a.Verdict == Infrastructure:
		return fmt.Sprintf("%s; live broke the limit as well (%s of %s): the candidate is not to blame", what, percent(a.Live.Share()), count(a.Live.Requests))
	case a.Decision == Abort:
		return fmt.Sprintf("%s: worse than chance explains (%s)", what, odds(a.Evidence))
	case a.Decision == Advance:
		return what + ": no worse, as far as matters"
	case a.Evidence >= 10:
		return fmt.Sprintf("%s: suspicious (%s), an abort takes %s", what, odds(a.Evidence), odds(a.Needed))
	}
	if known {
		return what + ": nothing says that it is worse"
	}
	return what + ": not enough to tell"
}

// Line is what was counted, with the intervals that hold the rates:
//
//	errors: candidate 5.1 % of 412 (3.2–8.1 %), live 0.5 % of 1 650 (0.2–1.1 %)
func (a Answer) Line() string {
	line := fmt.Sprintf("%s: candidate %s, live %s", a.Question, a.Candidate, a.Live)
	if a.Max > 0 {
		line += fmt.Sprintf(", %s may", percent(a.Max))
	}
	return line
}

// String is the share with its interval: 5.1 % of 412 (3.2–8.1 %).
func (r Rate) String() string {
	if r.Requests == 0 {
		return "no request"
	}
	return fmt.Sprintf("%s of %s (%s–%s)", percent(r.Share()), count(r.Requests), strings.TrimSuffix(percent(r.Low), " %"), percent(r.High))
}

// odds of an e-value, with two digits.
func odds(e float64) string {
	if e >= 1e15 {
		return "less than 1 in 10^15"
	}
	e = max(e, 1)
	step := math.Pow(10, math.Floor(math.Log10(e))-1)
	if step < 1 {
		step = 1
	}
	return "1 in " + count(uint64(math.Floor(e/step)*step))
}

// count groups digits by three, with spaces.
func count(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// percent with two digits that count: 5.1 %, 0.42 %, 0.031 %.
func percent(share float64) string {
	p := share * 100
	decimals := 1
	for limit := 1.0; p < limit && decimals < 6 && p > 0; limit /= 10 {
		decimals++
	}
	text := strconv.FormatFloat(p, 'f', decimals, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text + " %"
}
