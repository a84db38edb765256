// Command docs runs the commands of a page of the documentation as an operator would type them, against a cluster of real brokerd
// processes, and holds what they print against what the page says they print.
//
//	go run ./bench/docs deploy/README.md            fails if a command fails, or prints something of another shape
//	go run ./bench/docs -rewrite deploy/README.md   puts what is printed now into the page
//
// A page is written for hosts host-1, host-2, ... with the addresses 10.0.10.1, 10.0.10.2, ..., the configuration in /etc/runnel and the data in
// /var/lib/runnel. Here each host is a folder and a loopback address: the runner translates both ways, and puts programs of its own
// in place of ssh and systemctl, which start and stop brokerd as the page's configuration says. Everything else is what the page says.
//
// Blocks of a page:
//
//	<!-- cluster: NAME -->            hosts with empty disks from here on; what ran before is stopped
//	<!-- file: PATH -->               before a block: it is written to every host, with the host's own address
//	```sh                             commands; one that fails ends the run
//	<!-- fails -->                    before such a block: the last command has to fail
//	<!-- not run: WHY -->             before such a block: it is not
//	```text                           right after such a block: what it prints
//
// Numbers, ids, times and the width of columns may differ; words and the number of lines may not. A line "..." in the page stands for any
// number of lines.
package main
