<?php
// PHP's own sessions, one file for all paths.
session_start();
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path == '/login') {
    session_regenerate_id(true);
    $_SESSION['user'] = $_GET['user'] ?? 'alice';
    echo 'ok';
} elseif ($path == '/logout') {
    $_SESSION = [];
    session_destroy();
    echo 'bye';
} elseif (isset($_SESSION['user'])) {
    echo $_SESSION['user'];
} else {
    http_response_code(401);
    echo 'no';
}
