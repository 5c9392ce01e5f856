/* Writing to many sockets in one call, with the interpreter's lock released.
 *
 * Optional: hub/web/writes.py does the same in Python, and is what the tests hold this against. What it saves is the
 * interpreter's and the transport's share of a write, which is a third of it when the kernel takes the bytes at once.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE. */
#endif

struct item {
    int fd;
    Py_ssize_t size;
    Py_ssize_t sent;
    const char *data;
};

static void send_one(struct item *item)
{
    ssize_t sent;
    do {
        sent = send(item->fd, item->data, (size_t)item->size, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    item->sent = sent < 0 ? 0 : sent;
}

/* Takes the numbers and addresses out of Python's objects. The tuples keep the objects alive. */
static int read_items(struct item *items, PyObject *fds, PyObject *payloads)
{
    Py_ssize_t count = PyTuple_Size(fds);
    for (Py_ssize_t i = 0; i < count; i++) {
        char *data;
        long fd = PyLong_AsLong(PyTuple_GetItem(fds, i));
        if (fd == -1 && PyErr_Occurred())
            return -1;
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(payloads, i), &data, &items[i].size) < 0)
            return -1;
        items[i].fd = (int)fd;
        items[i].data = data;
    }
    return 0;
}

static PyObject *unsent(const struct item *items, Py_ssize_t count)
{
    PyObject *list = PyList_New(0);
    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        if (items[i].sent == items[i].size)
            continue;
        PyObject *pair = Py_BuildValue("nn", i, items[i].sent);
        if (pair == NULL || PyList_Append(list, pair) < 0)
            Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    return list;
}

static PyObject *send_each(PyObject *self, PyObject *args)
{
    PyObject *fds, *payloads, *result = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!O!:send_each", &PyTuple_Type, &fds, &PyTuple_Type, &payloads))
        return NULL;
    Py_ssize_t count = PyTuple_Size(fds);
    if (count != PyTuple_Size(payloads)) {
        PyErr_SetString(PyExc_ValueError, "as many payloads as file descriptors");
        return NULL;
    }
    struct item *items = PyMem_Calloc(count ? (size_t)count : 1, sizeof *items);
    if (items == NULL)
        return PyErr_NoMemory();
    if (read_items(items, fds, payloads) == 0) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; i < count; i++)
            send_one(&items[i]);
        Py_END_ALLOW_THREADS
        result = unsent(items, count);
    }
    PyMem_Free(items);
    return result;
}

/* What subscribers of one message get differs by a head of fixed length: it is laid out once, and for each of them only
 * the heads are filled in. */
struct layout {
    char *bytes;
    Py_ssize_t size, heads, head_size;
    Py_ssize_t *at; /* where each head goes */
};

static void forget(struct layout *layout)
{
    PyMem_Free(layout->bytes);
    PyMem_Free(layout->at);
}

static int lay_out(struct layout *layout, PyObject *segments)
{
    Py_ssize_t count = PyList_Size(segments), at = 0;
    layout->heads = count - 1;
    layout->size = layout->heads * layout->head_size;
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_ssize_t length = PyBytes_Size(PyList_GetItem(segments, i));
        if (length < 0)
            return -1;
        layout->size += length;
    }
    layout->bytes = PyMem_Malloc((size_t)layout->size + 1);
    layout->at = PyMem_Calloc((size_t)count, sizeof *layout->at);
    if (layout->bytes == NULL || layout->at == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *segment = PyList_GetItem(segments, i);
        memcpy(layout->bytes + at, PyBytes_AsString(segment), (size_t)PyBytes_Size(segment));
        at += PyBytes_Size(segment);
        layout->at[i] = at;
        at += layout->head_size;
    }
    return 0;
}

static void send_all(struct item *items, Py_ssize_t count, struct layout *layout, const char *heads)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        if (items[i].fd < 0)
            continue; /* Nothing of it was sent. */
        for (Py_ssize_t j = 0; j < layout->heads; j++)
            memcpy(layout->bytes + layout->at[j], heads + i * layout->head_size, (size_t)layout->head_size);
        send_one(&items[i]);
    }
}

static PyObject *send_laid_out(const Py_buffer *lines, const Py_buffer *heads, const Py_buffer *open,
                               struct layout *layout, Py_ssize_t count)
{
    PyObject *result;
    struct item *items = PyMem_Calloc(count ? (size_t)count : 1, sizeof *items);
    if (items == NULL)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        int fd = ((const int *)lines->buf)[i];
        int may = fd >= 0 && fd < open->len && ((const char *)open->buf)[fd];
        items[i] = (struct item){may ? fd : -1, layout->size, 0, layout->bytes};
    }
    Py_BEGIN_ALLOW_THREADS
    send_all(items, count, layout, heads->buf);
    Py_END_ALLOW_THREADS
    result = unsent(items, count);
    PyMem_Free(items);
    return result;
}

static PyObject *send_shared(PyObject *self, PyObject *args)
{
    Py_buffer lines, heads, open;
    Py_ssize_t count;
    PyObject *segments, *result = NULL;
    struct layout layout = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*ny*O!:send_shared", &lines, &heads, &count, &open, &PyList_Type, &segments))
        return NULL;
    Py_ssize_t places = lines.len / (Py_ssize_t)sizeof(int);
    if (count < 0 || count > places || (places ? heads.len % places : heads.len) || PyList_Size(segments) < 1) {
        PyErr_SetString(PyExc_ValueError, "as many heads of the same length as lines, and segments to put between them");
    } else {
        layout.head_size = places ? heads.len / places : 0;
        if (lay_out(&layout, segments) == 0)
            result = send_laid_out(&lines, &heads, &open, &layout, count);
        forget(&layout);
    }
    PyBuffer_Release(&lines);
    PyBuffer_Release(&heads);
    PyBuffer_Release(&open);
    return result;
}

static PyMethodDef methods[] = {
    {"send_each", send_each, METH_VARARGS,
     "send_each(fds, payloads) -> [(index, bytes sent), ...] of those that were not sent whole."},
    {"send_shared", send_shared, METH_VARARGS,
     "send_shared(lines, heads, count, open, segments) -> [(index, bytes sent), ...] of those that were not sent whole.\n\n"
     "To each of the first `count` lines, file descriptors, goes head.join(segments), where the head is its own; to none\n"
     "whose byte in `open` is 0."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_send", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__send(void)
{
    return PyModuleDef_Init(&module);
}
