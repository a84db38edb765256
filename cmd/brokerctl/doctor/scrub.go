package doctor

import (
	"bytes"
	"os"
	"regexp"
	"strings"
)

// cutOut stands where a secret was.
const cutOut = "(cut out)"

// pem is key material. One whose end is missing goes on to the end of the text.
var pem = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*(PRIVATE KEY|SECRET)[A-Z0-9 ]*-----.*?(-----END [A-Z0-9 ]*-----|\z)`)

// pemEnd is the rest of key material whose beginning was cut off: a log's end is read from somewhere within it.
var pemEnd = regexp.MustCompile(`(?:[A-Za-z0-9+/=]+(?:\s|\\n)+)+-----END [A-Z0-9 ]*PRIVATE KEY[A-Z0-9 ]*-----`)

// named is a value that its name calls a secret: password=x, "token": "x", Authorization: Bearer x.
var named = regexp.MustCompile(`(?i)((?:password|passwd|passphrase|secret|token|api[_.-]?key|private[_.-]?key|credentials?|authorization)["']?\s*[:=]\s*)` +
	`("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|(?:bearer |basic )?[^\s,;&"']+)`)

// userinfo is the password of a URL.
var userinfo = regexp.MustCompile(`(://[^/@:\s"']*:)[^/@\s"']+@`)

// secretName is a variable whose value is kept out of the bundle wherever it turns up.
var secretName = regexp.MustCompile(`(?i)(key|secret|password|passwd|passphrase|token|credential)`)

// leastSecret is the length below which a variable's value is not looked for: every text has "yes" in it somewhere.
const leastSecret = 8

// scrubber cuts secrets out of texts: those that their form or their name gives away, and the values of secret variables of the
// environment in which it runs.
type scrubber struct{ literals [][]byte }

// newScrubber takes an environment as os.Environ gives it. A variable that names a file is no secret, what is in the file is; nobody
// reads it here.
func newScrubber(environ []string) *scrubber {
	s := &scrubber{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if len(value) < leastSecret || !secretName.MatchString(name) {
			continue
		}
		if _, err := os.Stat(value); err == nil {
			continue
		}
		s.literals = append(s.literals, []byte(value))
	}
	return s
}

// clean answers the text without secrets, and how many were cut out.
func (s *scrubber) clean(text []byte) (cleaned []byte, count int) {
	for _, l := range s.literals {
		if n := bytes.Count(text, l); n > 0 {
			text, count = bytes.ReplaceAll(text, l, []byte(cutOut)), count+n
		}
	}
	replace := func(re *regexp.Regexp, with string) {
		if n := len(re.FindAllIndex(text, -1)); n > 0 {
			text, count = re.ReplaceAll(text, []byte(with)), count+n
		}
	}
	replace(pem, cutOut)
	replace(pemEnd, cutOut)
	replace(userinfo, "${1}"+cutOut+"@")
	replace(named, "${1}"+cutOut)
	return text, count
}

// oneLine is an error's text without line breaks.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
