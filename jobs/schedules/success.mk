# batchrun under make: out/NAME/_SUCCESS is the target, and NAME.toml beside this folder the job.
#   make -C jobs -f schedules/success.mk out/classify/_SUCCESS
# or `include` this file and let a rule of your own depend on it:
#   labels.csv: out/classify/_SUCCESS
BATCHRUN ?= batchrun

# Newer input or a newer job file: batchrun looks again, sends what is new, or nothing, and writes _SUCCESS anew.
# Any exit code but 0 fails the rule and all that depends on it. After 3 the next make goes on; after 5 another
# run is at it; 1, 2 and 4 need a person.
out/%/_SUCCESS: %.toml $(wildcard data/*)
	$(BATCHRUN) run $< --quiet
