// The page's modules. Each listens on the document, so that what htmx puts in later is covered too.
import { watchComposer } from "./composer.js";
import { watchCopying } from "./copy.js";
import { watchNotices } from "./notices.js";
import { watchPanel } from "./panel.js";
import { watchReplies } from "./reply.js";
import { watchStartUp } from "./start_up.js";
import { watchTimes } from "./times.js";

document.documentElement.classList.add("with-script");

// On a phone the list of chats would take the place of the chat.
if (window.matchMedia("(max-width: 48rem)").matches) document.querySelector("#conversations details")?.removeAttribute("open");

watchReplies();
watchComposer();
watchCopying();
watchPanel();
watchNotices();
watchStartUp();
watchTimes();
