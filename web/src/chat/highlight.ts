/** Code → HTML whose keywords, strings and the like are marked by class. The languages people ask models for. */
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import cpp from "highlight.js/lib/languages/cpp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";

const LANGUAGES = {
	bash,
	cpp,
	css,
	diff,
	go,
	java,
	javascript,
	json,
	python,
	rust,
	sql,
	typescript,
	xml,
	yaml,
};

for (const [name, language] of Object.entries(LANGUAGES))
	hljs.registerLanguage(name, language);

/** null: no language that is known here; show it as it is. */
export function highlight(code: string, language: string): string | null {
	if (hljs.getLanguage(language) === undefined) return null;
	return hljs.highlight(code, { language, ignoreIllegals: true }).value;
}
