// The page's modules. Each listens on the document, so that what htmx puts in later is covered too.
import { watchComposer } from "./composer.js";
import { watchCopying } from "./copy.js";
import { watchPanel } from "./panel.js";
import { watchReplies } from "./reply.js";

watchReplies();
watchComposer();
watchCopying();
watchPanel();
