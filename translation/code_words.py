"""What the code tells people in less than a sentence; it must stand in the code just so."""

WORDS = frozenset({
    # The head of the page, and its panels
    "less than 1 min", "{hours} h {minutes} min",
    "Next session ·", "Still there? ·", "Under {minutes} min left ·",
    # The state of the engine
    "starting", "ready", "slow to answer", "starting again", "changing the model", "ending", "ended", "failed",
    "started again {times}", "once", "twice", "{count} times",
    "a while", "less than a minute", "about {minutes}", "1 minute", "{count} minutes",
    # Its start
    "The model is loading", "The engine is being started again", "The session is changing its model",
    "Start vLLM", "Load the model's weights", "Compile the model", "Reserve the memory for conversations",
    "Record CUDA graphs", "Open for questions", "Download the model", "Copy the model to the node's disk",
    "Join the nodes", "{sum} of {count} nodes",
    "from the cache", "compiled in {float} s", "{tokens} tokens", "{tokens} tokens: {tokens2} conversations of {each}",
    "{found} of {found2}",
    "part {match} of {match2}", "{part}, about {loaded} of {gib} GiB{rate}", ", {loaded} GiB/s",
    "vLLM answers after {now} s", "Replica {stuck} of vLLM", "{who} has {questions} open question(s)",
    
    "The model is still loading", "{beginnings} ({running}).",
    "{message_limit} characters", "Loaded: {names}.", "Loaded anew: {names}.", "Taken away: {names}.",
    "Python, the client of LLM Hoster",
    "{replicas} replicas, each on {num_gpus} GPUs", "{replicas} replicas, each on 1 GPU",
    # Its failures
    "while it served", "while it started",
    "Restart with a context of {tokens} tokens", "Restart with at most {conversations} at once", "1 conversation",
    "{number} conversations", "Restart without compiling: slower answers",
    "Restart with at most {tokens} tokens in one step", "Restart with {share} of {of}", "the GPU's memory",
    "the node's memory",
    # Keys
    "{number} requests a minute", "{number} tokens a minute", "{number} at the same time", "{number} tokens in all",
    "only {join}", "{priority} priority", "high", "normal", "low", "revoked on {day}", "no end", "until {day}",
    "ended on {day}",
    # Ways to start programs
    "On the cluster", "On my computer",
    "Works on: {place}.",
    "a login node, a job, a terminal of Jupyter on OnDemand", "a login node, a job, Jupyter on OnDemand",
    "a login node, a job, RStudio on OnDemand",
    "VS Code on OnDemand, VS Code that is connected to a login node", "a job",
    "your own computer, while the tunnel is open",
    "the extension Continue", "this app's own package", "Node.js 18 or later",
})  # fmt: skip
