//! Loads and runs programs, each on a thread of its own.

use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::Value as Json;
use starlark::PrintHandler;
use starlark::docs::{DocItem, DocMember, DocParams};
use starlark::environment::{Globals, GlobalsBuilder, LibraryExtension, Module};
use starlark::eval::Evaluator;
use starlark::syntax::{AstModule, Dialect};
use starlark::values::Value;

use crate::session::{self, Pending, Session};
use crate::{
    Changes, Host, Level, MAX_CALL_DEPTH, MAX_HEAP_BYTES, MAX_SOURCE_BYTES, MAX_TICKS, ScriptletError, convert, depth,
    functions,
};

/// Name of the entry function, and of the program in error texts.
pub(crate) const FUNCTION: &str = "server_registration";

/// The entry function's only parameter.
const PARAMETER: &str = "candidate";

/// Stack of a program's thread, in bytes: several times what [`depth::check`] lets through needs
/// in an unoptimised build. Pages are used on demand.
const STACK_BYTES: usize = 256 * 1024 * 1024;

/// See [`crate::validate`].
pub(crate) fn validate(source: &str) -> Result<(), ScriptletError> {
    if source.is_empty() {
        return Ok(());
    }
    let source = accepted(source)?;
    let thread = start(move || with_program(&source, |_, _| Ok(())))?;
    thread.join().unwrap_or_else(|cause| Err(died(cause)))
}

/// See [`crate::run`].
pub(crate) fn run(source: &str, candidate: &Json, host: &mut dyn Host) -> (Changes, Result<(), ScriptletError>) {
    let changes = Arc::new(Mutex::new(Changes::default()));
    let result = if source.is_empty() { Ok(()) } else { run_into(source, candidate, host, &changes) };
    let changes = std::mem::take(&mut *changes.lock().unwrap_or_else(PoisonError::into_inner));
    (changes, result)
}

fn run_into(
    source: &str,
    candidate: &Json,
    host: &mut dyn Host,
    changes: &Arc<Mutex<Changes>>,
) -> Result<(), ScriptletError> {
    let (source, candidate) = (accepted(source)?, candidate.clone());
    let (calls, called) = mpsc::channel();
    let session = Session { changes: Arc::clone(changes), calls };
    let thread = start(move || {
        with_program(&source, |function, eval| {
            let candidate = convert::record(&candidate, eval.heap());
            let _entered = session.enter();
            let returned = eval.eval_function(function, &[], &[(PARAMETER, candidate)])?;
            if returned.is_none() { Ok(()) } else { Err(ScriptletError::Returned(returned.get_type().to_owned())) }
        })
    })?;
    serve(&called, host);
    thread.join().unwrap_or_else(|cause| Err(died(cause)))
}

/// Answers the program's requests until it ended, which drops the sending side.
fn serve(called: &Receiver<Pending>, host: &mut dyn Host) {
    for Pending { call, answer } in called {
        // Nobody waits any more if the program's thread died; its end is noticed at once.
        let _ = answer.send(host.call(call));
    }
}

/// An own copy of a program that is neither too long nor too deep to be read at all.
fn accepted(source: &str) -> Result<String, ScriptletError> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err(ScriptletError::TooLong(source.len()));
    }
    depth::check(source)?;
    Ok(source.to_owned())
}

type Thread = thread::JoinHandle<Result<(), ScriptletError>>;

fn start(body: impl FnOnce() -> Result<(), ScriptletError> + Send + 'static) -> Result<Thread, ScriptletError> {
    let thread = thread::Builder::new().name("scriptlet".to_owned()).stack_size(STACK_BYTES);
    thread.spawn(body).map_err(|error| ScriptletError::Thread(error.to_string()))
}

fn died(cause: Box<dyn std::any::Any + Send>) -> ScriptletError {
    let text = cause.downcast_ref::<String>().map(String::as_str).or(cause.downcast_ref::<&str>().copied());
    ScriptletError::Thread(text.unwrap_or("the interpreter failed").to_owned())
}

/// Loads a program under all limits, checks its entry function and hands it to `use_it`. The
/// limits count on through both phases.
fn with_program(
    source: &str,
    use_it: impl for<'v> FnOnce(Value<'v>, &mut Evaluator<'v, '_, '_>) -> Result<(), ScriptletError>,
) -> Result<(), ScriptletError> {
    let dialect = Dialect { enable_load: false, enable_keyword_only_arguments: true, ..Dialect::Standard };
    let ast = AstModule::parse(FUNCTION, source.to_owned(), &dialect)?;
    Module::with_temp_heap(|module| {
        let printer = Printer;
        let mut eval = Evaluator::new(&module);
        limit(&mut eval).map_err(ScriptletError::Unplaced)?;
        eval.set_print_handler(&printer);
        eval.eval_module(ast, &globals())?;
        let function = module.get(FUNCTION).ok_or(ScriptletError::NoFunction)?;
        check_entry(function)?;
        use_it(function, &mut eval)
    })
}

fn limit(eval: &mut Evaluator) -> Result<(), String> {
    let limits = eval
        .set_max_tick_count(MAX_TICKS)
        .and_then(|()| eval.set_max_heap_size(MAX_HEAP_BYTES))
        .and_then(|()| eval.set_max_callstack_size(MAX_CALL_DEPTH));
    limits.map_err(|error| error.to_string())
}

/// The Starlark standard plus `print`, which the reference's interpreter also has.
fn globals() -> Globals {
    GlobalsBuilder::extended_by(&[LibraryExtension::Print]).with(functions::add).build()
}

fn check_entry(function: Value) -> Result<(), ScriptletError> {
    let not_a_function = || ScriptletError::NotAFunction(function.get_type().to_owned());
    // Only functions written in the program have this; built-in ones do not count.
    function.parameters_spec().ok_or_else(not_a_function)?;
    let DocItem::Member(DocMember::Function(documentation)) = function.documentation() else {
        return Err(not_a_function());
    };
    let found = parameters(&documentation.params);
    if found == [PARAMETER] { Ok(()) } else { Err(ScriptletError::Parameters(found.join(", "))) }
}

/// Parameters as written, `*` and `**` included, defaults not.
fn parameters(params: &DocParams) -> Vec<String> {
    let starred = |stars: &str, name: &str| format!("{stars}{}", name.trim_start_matches('*'));
    let mut found: Vec<String> = params.pos_only.iter().chain(&params.pos_or_named).map(|p| p.name.clone()).collect();
    found.extend(params.args.iter().map(|p| starred("*", &p.name)));
    if params.args.is_none() && !params.named_only.is_empty() {
        found.push("*".to_owned());
    }
    found.extend(params.named_only.iter().map(|p| p.name.clone()));
    found.extend(params.kwargs.iter().map(|p| starred("**", &p.name)));
    found
}

/// `print` goes to the log; while the program loads there is none, as for `log.info`.
struct Printer;

impl PrintHandler for Printer {
    fn println(&self, text: &str) -> starlark::Result<()> {
        Ok(session::log(Level::Info, text)?)
    }
}
