package repo

// rules are the project's rules that keep the log true, by number. A reason says why a rule has no test yet.
var rules = map[string]string{
	"01": "", "02": "", "03": "", "04": "", "05": "", "06": "", "07": "", "08": "",
	"09": "", "10": "", "11": "", "12": "", "13": "", "14": "", "15": "", "16": "", "17": "", "18": "",
	"19": "", "20": "",
	"21": "", "22": "", "23": "", "24": "the admission gate comes with thousands of partitions", "25": "", "26": "", "27": "", "28": "",
	"29": "", "30": "", "31": "", "32": "", "33": "",
}
