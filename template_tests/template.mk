# Included by the Makefile, where the template is: a project has no such folder.
.PHONY: test-template test-template-all

test-template: ## bake projects by every route, compare and update them
	@$(DEV)
	@template_tests/prepare.sh
	@$(PY) -m pytest template_tests -m "not end_to_end" -n $(JOBS) --dist loadfile $(ARGS)

test-template-all: ## that, and run baked projects: make run, lint and test in each (20 minutes)
	@$(DEV)
	@template_tests/prepare.sh
	@$(PY) -m pytest template_tests $(ARGS)
